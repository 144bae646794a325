"""An engine that answers with what it sees, so that maps tell what it was shown, and where."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from napari_clipseg.engine.engine import Engine

REACH = 4  # logits of white, and of black below 0


def colour(image, prompt):
    """Prompt 0 answers with red, 1 with green, 2 with blue, and so on around."""
    return image[..., prompt % 3]


class Seeing(Engine):
    """Answers a prompt with a colour of the image, in logits from -4 to 4.

    Parameters
    ----------
    side, patch : int
        Of the model's square, and of its patches.
    answer : callable
        From an image and a prompt's number to brightness, 0 to 255; by default `colour`.
    """

    def __init__(self, side=16, patch=1, answer=colour, batch_size=1):
        self.name = "seeing"
        self._config = SimpleNamespace(
            default_threshold=0.5, vision_config=SimpleNamespace(patch_size=patch)
        )
        self.images = []  # all that it was shown
        self.batches = []  # the same, as they came
        self._batch_size = batch_size
        self._side, self._answer = side, answer

    @property
    def size(self):
        return self._side, self._side

    @property
    def batch_size(self):
        return self._batch_size

    @property
    def weights(self):
        return None

    def encode(self, images, *, cache=True, resize=True):
        assert not resize, "an image that is resized is not the one of the preview"
        patch = self.config.vision_config.patch_size
        for image in images:
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert not any(n % patch for n in image.shape[:2])
        self.images += images
        self.batches.append(images)
        return images

    def embed(self, prompts):
        return np.zeros((len(prompts), 1), np.float32)

    def decode(self, features, embeddings):
        answers = [
            [self._answer(image, prompt) for prompt in range(len(embeddings))] for image in features
        ]
        return (np.asarray(answers, np.float32) / 255 * 2 - 1) * REACH


def probability(brightness):
    """What `Seeing` answers to a brightness, 0 to 255."""
    logits = (np.asarray(brightness, float) / 255 * 2 - 1) * REACH
    return 1 / (1 + np.exp(-logits))


def brightness(probability):
    """What `Seeing` saw where it answered with a probability."""
    p = np.asarray(probability, float)
    return (np.log(p / (1 - p)) / REACH + 1) / 2 * 255


class Recorded:
    """An array that keeps what was read of it, as a bool array of its shape."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.read = np.zeros(array.shape, bool)

    def __getitem__(self, where):
        self.read[where] = True
        return self._array[where]
