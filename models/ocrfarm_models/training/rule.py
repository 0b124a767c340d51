"""How a crop becomes this room's tensor; the registry rows of the published models repeat it for the serving side.

Padding is the constant 0.0 on the right (mid grey). No pixel gives exactly 0.0 under mean 0.5 and deviation 0.5, so the network
itself tells padding from picture (`networks.EvenLight`), and a line reads the same beside wider ones.
"""

from ocrfarm_models.spec import InputRule

LINE_RULE = InputRule(height=32, channels="GREY", multiple=16, min_width=32, mean=0.5, std=0.5, pad=0.0)
STRIDE = 4  # columns a time step
