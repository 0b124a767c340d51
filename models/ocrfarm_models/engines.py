"""The engines of one profile, opened and warmed: what a worker process holds."""

from __future__ import annotations

from dataclasses import dataclass

from ocrfarm_models.cascade import FirstReader
from ocrfarm_models.classifier import DirectionClassifier
from ocrfarm_models.detector import Detector
from ocrfarm_models.recognizer import Recognizer
from ocrfarm_models.registry import resolve
from ocrfarm_models.sessions import hold_memory, release_memory
from ocrfarm_shared.profiles import Profile


@dataclass(frozen=True)
class Engines:
    """Recogniser and, where the profile names them, detector, direction classifier, first readers and fallback recogniser."""

    profile: str
    detector: Detector | None
    recognizer: Recognizer
    classifier: DirectionClassifier | None
    models: tuple[str, ...]
    fallback: Recognizer | None = None
    first: tuple[FirstReader, ...] = ()

    @classmethod
    def load(cls, profile: Profile, *, threads: int = 1) -> Engines:
        """Open and warm the profile's models. Raises ModelUnavailable with a sentence that says what to do."""
        hold_memory()
        loaded = cls(
            profile=profile.name,
            detector=Detector.open(resolve(profile.detector), threads=threads) if profile.detector else None,
            recognizer=Recognizer.open(resolve(profile.recognizer), threads=threads),
            classifier=DirectionClassifier.open(resolve(profile.classifier), threads=threads)
            if profile.classifier
            else None,
            models=profile.models,
            fallback=Recognizer.open(resolve(profile.fallback), threads=threads) if profile.fallback else None,
            first=tuple(
                FirstReader(Recognizer.open(resolve(reader.model), threads=threads), reader.error)
                for reader in profile.first
            ),
        )
        loaded.rest()  # what opening and warming took is three times what the models keep
        return loaded

    def rest(self) -> None:
        """Between two pages: give the memory that the last one took back to the system."""
        release_memory()

    def close(self) -> None:
        """Release the sessions' memory."""
        if self.detector:
            self.detector.close()
        self.recognizer.close()
        if self.classifier:
            self.classifier.close()
        if self.fallback:
            self.fallback.close()
        for reader in self.first:
            reader.recognizer.close()
