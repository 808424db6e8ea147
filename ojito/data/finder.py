"""Images of rows, found by the names that the rows have for them. Every folder is listed once, however many rows."""

from __future__ import annotations

import contextlib
import os
import re
import unicodedata
from functools import cached_property
from pathlib import Path

from ojito.processor.images import ImageError, check_path

# Folders that lists of captions and questions keep their images in: images/, Flicker8k_Dataset/, train2014/.
_OF_IMAGES = re.compile(
    r"(.*[-_ ])?(images?|imgs?|photos?|pictures|dataset|jpe?gs?)|(train|val|valid|validation|dev|test)(20\d\d)?", re.I
)
_OF_LISTS = ("annotations", "captions", "labels", "lists", "metadata")  # folders that lie beside those of the images


class Listing:
    """The names in a folder.

    Args:
        folder: The folder; one that cannot be read has no names.

    Attributes:
        files: Names of its files, those behind links included.
        folders: Names of the folders in it.
    """

    def __init__(self, folder: str) -> None:
        self.files: set[str] = set()
        self.folders: set[str] = set()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file():
                        self.files.add(entry.name)
                    elif entry.is_dir():
                        self.folders.add(entry.name)
        except (OSError, ValueError):  # ValueError: a null character
            return

    @cached_property
    def composed(self) -> dict[str, str]:
        """Every name by its composed Unicode form: a Mac's file system writes é as e and an accent."""
        return {unicodedata.normalize("NFC", name): name for name in self.files | self.folders}

    @cached_property
    def folded(self) -> dict[str, str]:
        """The files by their composed names without capitals."""
        return {unicodedata.normalize("NFC", name).casefold(): name for name in self.files}


class FoldersOnly(Listing):
    """The names of the folders in a folder, without those of its files."""

    def __init__(self, folder: str) -> None:
        self.files, self.folders = set(), set()
        with contextlib.suppress(OSError, ValueError), os.scandir(folder) as entries:
            self.folders.update(entry.name for entry in entries if entry.is_dir())


class Finder:
    """Finds the images of rows that stand in one folder.

    An image is looked for where its row says, relative to the folder; then in the folders of images beside the row's
    file (`images/`, COCO's `train2014/`). Backslashes and decomposed accents make no difference.

    Args:
        folder: The folder of the file with the rows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._found: dict[str, Path] = {}
        self._listings: dict[str, Listing] = {}

    def find(self, name: str, hint: bool = True) -> Path:
        """Return the path of an image.

        Args:
            name: As the row has it.
            hint: Whether to look for the nearest name when it is missing, which takes a while in a large folder.

        Raises:
            ImageError: It is not there (with the nearest name), a broken link, an address, or in several folders.
        """
        if name not in self._found:  # the captions of an image, and its questions, often have a row each
            self._found[name] = self._find(name, hint)
        return self._found[name]

    def _find(self, name: str, hint: bool) -> Path:
        if "://" in name or name[:5].lower() == "data:":
            return check_path(name)
        if self._is_file(self.folder, name):
            return self.folder / name
        names = [name, name.replace("\\", "/")] if "\\" in name else [name]
        for each in names:
            found = self._beside(each)
            if found:
                return found
        path = self.folder / names[-1]
        near = self._listing(path.parent).folded.get(unicodedata.normalize("NFC", path.name).casefold())
        if near and near != path.name:
            raise ImageError(str(path), f"does not exist, but {near} does", "write its capitals")
        # Says what is wrong: a broken link, a folder, a pipe, a folder that may not be read, or that nothing is there.
        return check_path(path, hint)

    @cached_property
    def _roots(self) -> list[Path]:
        """The folder, and the folders beside its rows that may hold their images."""
        above = [self.folder.parent] if self.folder.name.lower() in _OF_LISTS else []
        roots = [self.folder, *above]
        for folder in (self.folder, *above):
            roots += [folder / name for name in sorted(self._listing(folder).folders) if _OF_IMAGES.fullmatch(name)]
        return roots

    def _beside(self, name: str) -> Path | None:
        if os.path.isabs(name):
            return self._composed(Path(name))
        found = [root / name for root in self._roots if self._is_file(root, name)]
        if not found:
            found = [path for path in (self._composed(root / name) for root in self._roots) if path]
        if len(found) > 1 and found[0] != self.folder / name:
            where = " and in ".join(str(path.parent) for path in found)
            raise ImageError(name, f"is in {where}", "write the folder before the name")
        return found[0] if found else None

    def _is_file(self, root: Path, name: str) -> bool:
        if "/" not in name and os.sep not in name:
            return name in self._listing(root).files
        parent, base = os.path.split(os.path.join(root, name))
        return base in self._listing(parent).files

    def _composed(self, path: Path) -> Path | None:
        """The path as the disk writes its accents."""
        if path.name in self._listing(path.parent).files:
            return path
        real = Path(path.anchor)
        for part in path.parts[1:] if path.anchor else path.parts:
            real /= self._listing(real).composed.get(unicodedata.normalize("NFC", part), part)
        return real if real.name in self._listing(real.parent).files else None

    def _listing(self, folder: Path | str) -> Listing:
        key = os.fspath(folder)
        if key not in self._listings:
            self._listings[key] = Listing(key or ".")
        return self._listings[key]


class DirectFinder(Finder):
    """Finder for large data: it asks the disk for each image, and holds no names of a folder of a million."""

    def find(self, name: str, hint: bool = False) -> Path:
        """Return the path of an image. As for `Finder`, but that a name in other capitals is not looked for."""
        return self._find(name, hint)

    def _is_file(self, root: Path, name: str) -> bool:
        return os.path.isfile(os.path.join(root, name))

    def _composed(self, path: Path) -> Path | None:
        for form in ("NFC", "NFD"):
            written = unicodedata.normalize(form, str(path))
            if os.path.isfile(written):
                return Path(written)
        return None

    def _listing(self, folder: Path | str) -> Listing:
        key = os.fspath(folder)
        if key not in self._listings:
            self._listings[key] = FoldersOnly(key or ".")
        return self._listings[key]
