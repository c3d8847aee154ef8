"""Read the patch tokens of any student."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Callable, Optional, Tuple

from torch import Tensor, nn

from ..checks.suggest import nearest
from ..method import respond
from .find_tokens import KEY, bare, extra_tokens, find_embedding, find_tokens


@dataclass(frozen=True, eq=False)
class PatchTokens:
    """The tokens of a student's forward pass; a function that gives z_s for a grid."""

    tokens: Tensor
    """(N, L, D): extra tokens first, then h·w patch tokens row by row, after the final norm."""
    num_extra_tokens: int
    """Number of extra tokens: 2 with a distillation token, 1 with a class token alone."""
    grid: Tuple[int, int]
    """(h, w), the grid of the patch tokens."""
    distillation_head: Callable[[Tensor], Tensor]
    """The student's own distillation head: (…, D) → (…, C)."""

    @cached_property
    def parts(self) -> Tuple[Tensor, ...]:
        """Extra tokens (N, E, D) and patch tokens (N, h·w, D).

        One split for all users: the gradient of each slice would need a tensor of the size of all
        tokens.
        """
        extra = self.num_extra_tokens
        return self.tokens.split([extra, self.tokens.shape[1] - extra], dim=1)

    def __call__(self, grid: Tuple[int, int]) -> Tensor:
        """The student's responses z_s (N, C, H, W) on a grid (H, W)."""
        return respond(self.parts[1], self.grid, self.distillation_head, grid)


class TokenSource:
    """Read the tokens and their grid from each forward pass of a student.

    Tokens are the features that the stock classifier pools, or takes the class token from: after
    the final norm and before pooling. Layouts are recognised by attributes of the backbone:

    - sequences (N, L, D), with the extra tokens of the backbone first; their grid is that of the
      patch embedding, divided by the same whole number on both sides where later stages merge
      patches. It is read in each pass;
    - maps (N, D, H, W) or, where only the last side has the width D, (N, H, W, D);
    - sequences (N, D, L) in front of a ``GlobalAveragePooling`` with ``dim=1``.

    Args:
        model (CSKDClassifier): The student.
        source (str, optional): Name of the module that outputs the tokens, as in
            ``named_modules()``. Defaults to None: it is found automatically.
        key (str): Its config key, for messages. Defaults to ``'model.architecture.source'``.

    Raises:
        ValueError: If ``source`` is no module of the student or none is found; from a forward pass
            if it does not output tokens on a known grid.
    """

    def __init__(self, model: Any, source: Optional[str] = None, key: str = KEY) -> None:
        self._key = key
        modules = dict(model.named_modules())
        self.source = find_tokens(model) if source is None else source
        if self.source not in modules:
            raise ValueError(
                f'{self._key}: "{self.source}" is not a module of the student. '
                + nearest(self.source, modules)
            )
        module, backbone = modules[self.source], bare(model.backbone)
        self._width, self._head = model.width, model.distillation_logits
        self._extras = sorted({extra_tokens(backbone), 0}, reverse=True)
        # TinyViT's stages have their grid as an attribute.
        resolution = getattr(module, 'resolution', None)
        self._resolution = resolution if isinstance(resolution, (tuple, list)) else None
        gap = getattr(getattr(model, 'neck', None), 'gap', None)
        pools_flat = isinstance(gap, nn.AdaptiveAvgPool1d)
        self._flat_neck = source is None and self.source == 'backbone' and pools_flat
        self._readers = 0
        self._last: Optional[PatchTokens] = None
        self._grid: Optional[Tuple[int, int]] = None
        embedding: Any = find_embedding(backbone)
        self._patch = getattr(embedding, 'new_patch_size', (1, 1))
        if embedding is not None:
            # TNT cuts patches from a map.
            maps = hasattr(embedding, 'new_patch_size')
            (embedding.proj if maps else embedding).register_forward_hook(self._note_grid)
        module.register_forward_hook(self._record)

    def start(self) -> None:
        """Read the following forward pass, until :meth:`stop`; recorders and votes may overlap."""
        self._readers += 1
        self._last = self._grid = None

    def stop(self) -> Optional[PatchTokens]:
        """Stop reading.

        Returns:
            PatchTokens | None: Of a module that ran twice in the pass, as Conformer's norm, the
            last output; None if it did not run.
        """
        self._readers -= 1
        last = self._last
        if not self._readers:
            self._last = self._grid = None
        return last

    def _note_grid(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        """Note the grid of a map, or the grid returned with the tokens."""
        if not self._readers:
            return
        found = inputs[0] if type(module).__name__ == 'Flat' else outputs
        if isinstance(found, (tuple, list)) and len(found) > 1:
            self._grid = int(found[1][0]), int(found[1][1])
        elif isinstance(found, Tensor) and found.dim() == 4:
            height, width = found.shape[2:]
            self._grid = int(height) // self._patch[0], int(width) // self._patch[1]

    def _record(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        if self._readers:
            while isinstance(outputs, (tuple, list)) and outputs:
                # Of a backbone the last stage; of a block the tokens, which precede their grid.
                outputs = outputs[-1 if self.source == 'backbone' else 0]
            self._last = self._read(outputs)

    def _read(self, found: Any) -> PatchTokens:
        if not isinstance(found, Tensor):
            raise ValueError(f'{self._key}: "{self.source}" gave a {type(found).__name__}.')
        shape = tuple(found.shape)
        if found.dim() == 4:
            if self._width not in (shape[1], shape[3]):
                raise ValueError(
                    f'{self._key}: "{self.source}" gave {shape}, expected {self._width} channels: '
                    'name the module that outputs what the head pools.'
                )
            tokens = found.permute(0, 2, 3, 1) if shape[1] == self._width else found
            grid = (tokens.shape[1], tokens.shape[2])
            return PatchTokens(tokens.flatten(1, 2), 0, grid, self._head)
        tokens = found.transpose(1, 2) if self._flat_neck and found.dim() == 3 else found
        if tokens.dim() == 3 and tokens.shape[2] == self._width:
            for extra in self._extras:
                fitting = self._fit(tokens.shape[1] - extra, extra)
                if fitting is not None:
                    return PatchTokens(tokens, extra, fitting, self._head)
        sides = 'h·w' if self._grid is None else f'{self._grid[0]}·{self._grid[1]}'
        raise ValueError(
            f'{self._key}: "{self.source}" gave {shape}, expected (N, {self._extras[0]} + {sides}, '
            f'{self._width}): name the module behind the patch embedding that outputs all tokens.'
        )

    def _fit(self, patches: int, extra: int) -> Optional[Tuple[int, int]]:
        """The grid of this number of patches; None if there is none."""
        if self._resolution is not None and not extra:
            height, width = self._resolution
            return (int(height), int(width)) if height * width == patches else None
        if self._grid is None or patches <= 0:
            return None
        height, width = self._grid
        factor = math.isqrt(height * width // patches)
        fits = factor > 0 and height % factor == 0 and width % factor == 0
        if not fits or (height // factor) * (width // factor) != patches or (extra and factor > 1):
            return None
        return height // factor, width // factor
