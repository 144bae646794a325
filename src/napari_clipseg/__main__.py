"""``python -m napari_clipseg`` does what the command ``napari-clipseg`` does."""

from napari_clipseg.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
