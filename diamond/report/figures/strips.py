"""Film strips: imagined frames beside the real ones on one sheet; values are never rescaled."""

import base64
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from diamond.results.model import Strip
from diamond.studies.compared_frames import Film

_FONT_SIZE = 18
_LINE_PIXELS = 22
_GAP = 4
_MARGIN = 8
_LABEL_CHARACTERS = 22
_WHITE = (255, 255, 255)
_SEPARATOR = (205, 205, 205)
_INK = (20, 20, 20)
_GRID_FRAME_PIXELS = 128
_LONGEST_WEBP = 16_383
"""Longest edge of a WebP image, in pixels."""


@dataclass(frozen=True)
class Strips:
    """The chosen frames of one start: the real ones first, then the arms, then the baselines.

    Attributes:
        episode: Number of the held-out episode that it comes from.
        steps: Time steps of the columns, t = 1 being the first imagined frame.
        rows: (name, frames) with frames uint8 RGB (len(steps), h, w, 3).
    """

    game: str
    start: int
    episode: int
    steps: tuple[int, ...]
    rows: tuple[tuple[str, NDArray[np.uint8]], ...]


def film_strips(films: Sequence[Film], steps: Sequence[int]) -> list[Strips]:
    """Cut the strips of films at the given time steps."""
    columns = [step - 1 for step in steps]
    return [
        Strips(
            film.game,
            film.start,
            film.start,
            tuple(steps),
            tuple((name, frames[columns]) for name, frames in film.rows),
        )
        for film in films
    ]


@dataclass(frozen=True)
class FilmGrid:
    """The frames of one start as a page shows them: a picture for itself each.

    Attributes:
        steps: Time steps of the columns.
        rows: (name, links that carry their own data), one a time step.
        width: Of a frame, in pixels of the page.
    """

    game: str
    title: str
    steps: tuple[int, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    width: int


def film_grid(strips: Strips) -> FilmGrid:
    """Return the frames of one start for a page, which enlarges them by whole pixels."""
    width = strips.rows[0][1].shape[2]
    return FilmGrid(
        strips.game,
        f"start {strips.start}, held-out episode {strips.episode}",
        strips.steps,
        tuple((name, tuple(image_uri(frame) for frame in frames)) for name, frames in strips.rows),
        width * max(1, round(_GRID_FRAME_PIXELS / width)),
    )


def named_strips(strips: Sequence[Strips]) -> tuple[Strip, ...]:
    """Which strips a report has, without their frames."""
    return tuple(
        Strip(game=s.game, start=s.start, steps=s.steps, rows=tuple(name for name, _ in s.rows))
        for s in strips
    )


@dataclass(frozen=True)
class SheetLayout:
    """Where the cells of a contact sheet are, in pixels."""

    left: int
    top: int
    cell_height: int
    cell_width: int
    num_rows: int
    num_columns: int

    @property
    def height(self) -> int:
        """Height of the sheet in pixels."""
        return self.top + self.num_rows * (self.cell_height + _GAP)

    @property
    def width(self) -> int:
        """Width of the sheet in pixels."""
        return self.left + self.num_columns * (self.cell_width + _GAP)

    def origin(self, row: int, column: int) -> tuple[int, int]:
        """Return the (y, x) of the top left pixel of a cell."""
        return (
            self.top + row * (self.cell_height + _GAP),
            self.left + column * (self.cell_width + _GAP),
        )


def sheet_layout(
    names: Sequence[str], num_columns: int, frame_shape: tuple[int, int], scale: int
) -> SheetLayout:
    """Lay out a contact sheet.

    Args:
        names: Labels of the rows; long ones are wrapped.
        num_columns: Number of time steps.
        frame_shape: (h, w) of a frame in pixels.
        scale: Enlargement, at least 1.

    Returns:
        The place of every cell.
    """
    font = _font()
    widest = max(font.getlength(line) for name in names for line in _lines(name))
    return SheetLayout(
        left=int(np.ceil(widest)) + 2 * _MARGIN,
        top=_LINE_PIXELS + _MARGIN,
        cell_height=frame_shape[0] * scale,
        cell_width=frame_shape[1] * scale,
        num_rows=len(names),
        num_columns=num_columns,
    )


def film_strip(
    rows: Sequence[tuple[str, NDArray[np.uint8]]], steps: Sequence[int], scale: int
) -> NDArray[np.uint8]:
    """Draw a contact sheet: one row a name, one column a time step, frames enlarged by repetition.

    Args:
        rows: (name, frames) with frames uint8 RGB (len(steps), h, w, 3), drawn in this order.
        scale: Enlargement, at least 1; 5 shows a 32 x 32 frame at 160 pixels.

    Returns:
        The sheet, uint8 RGB (height, width, 3) of `sheet_layout`.

    Raises:
        ValueError: No rows, no steps, a scale below 1, or frames unlike the others.
    """
    if not rows or not steps or scale < 1:
        raise ValueError(f"nothing to draw: {len(rows)} rows, {len(steps)} steps, scale {scale}")
    expected = (len(steps), *rows[0][1].shape[1:3], 3)
    for name, frames in rows:
        if frames.shape != expected or frames.dtype != np.uint8:
            raise ValueError(f"row {name!r} is {frames.dtype} {frames.shape}, not uint8 {expected}")
    names = [name for name, _ in rows]
    layout = sheet_layout(names, len(steps), (expected[1], expected[2]), scale)
    sheet = _labelled_sheet(layout, names, steps)
    for row, (_, frames) in enumerate(rows):
        for column, frame in enumerate(frames):
            y, x = layout.origin(row, column)
            enlarged = frame.repeat(scale, axis=0).repeat(scale, axis=1)
            sheet[y : y + layout.cell_height, x : x + layout.cell_width] = enlarged
    return sheet


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """Encode an image uint8 RGB (h, w, 3) as PNG, without loss."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def image_uri(image: NDArray[np.uint8]) -> str:
    """Return an image uint8 RGB (h, w, 3) as a data URI, without loss.

    It is WebP, a fifth smaller than PNG, but for images that are longer than that format allows.
    """
    if max(image.shape) > _LONGEST_WEBP:
        kind, data = "png", png_bytes(image)
    else:
        buffer = BytesIO()
        Image.fromarray(image).save(buffer, format="WEBP", lossless=True, quality=20, method=4)
        kind, data = "webp", buffer.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _labelled_sheet(
    layout: SheetLayout, names: Sequence[str], steps: Sequence[int]
) -> NDArray[np.uint8]:
    """Return the sheet with its labels and separators and without its frames."""
    image = Image.new("RGB", (layout.width, layout.height), _WHITE)
    draw = ImageDraw.Draw(image)
    font = _font()
    for column, step in enumerate(steps):
        _, x = layout.origin(0, column)
        centre = (x + layout.cell_width // 2, layout.top // 2)
        draw.text(centre, f"t={step}", fill=_INK, font=font, anchor="mm")
    for row, name in enumerate(names):
        y, _ = layout.origin(row, 0)
        line_y = y - _GAP // 2 - 1
        draw.line([(0, line_y), (layout.width, line_y)], fill=_SEPARATOR)
        lines = _lines(name)
        first = y + layout.cell_height // 2 - (len(lines) - 1) * _LINE_PIXELS // 2
        for index, line in enumerate(lines):
            place = (_MARGIN, first + index * _LINE_PIXELS)
            draw.text(place, line, fill=_INK, font=font, anchor="lm")
    return np.array(image, dtype=np.uint8)


def _lines(name: str) -> list[str]:
    return textwrap.wrap(name, _LABEL_CHARACTERS, break_on_hyphens=False) or [""]


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=_FONT_SIZE)
