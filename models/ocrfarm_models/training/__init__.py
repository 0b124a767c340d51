"""The training room: data -> train -> evaluate -> export -> quantise -> publish. The only room that imports torch."""
