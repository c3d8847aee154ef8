"""Find and read the patch tokens of any student."""

import math
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from torch import Tensor, nn

from ..checks.suggest import nearest

KEY = 'model.architecture.source'
POOLING_NECKS = ('GlobalAveragePooling', 'GeneralizedMeanPooling')
# The last module before pooling or before the class token is taken, by its name in the backbone.
# RevViT fuses its two streams behind the norm; Conformer's is the norm of its transformer branch.
LAST = ('fusion_layer', 'ln1', 'norm', 'trans_norm')
# Modules that know the grid of their tokens.
EMBEDDINGS = ('patch_embed', 'tokens_to_token', 'trans_patch_conv', 'pixel_embed')


class Tokens(NamedTuple):
    """The tokens of a student's forward pass."""

    tokens: Tensor
    """(N, L, D): extra tokens first, then h·w patch tokens row by row."""
    num_extra_tokens: int
    """Number of extra tokens."""
    grid: Tuple[int, int]
    """(h, w), the grid of the patch tokens."""


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
        model (nn.Module): The student, an MMPretrain ``ImageClassifier``.
        width (int): D.
        source (str, optional): Name of the module that outputs the tokens, as in
            ``named_modules()``. Defaults to None: it is found automatically.

    Raises:
        ValueError: If ``source`` is no module of the student or none is found; from a forward pass
            if it does not output tokens on a known grid.
    """

    def __init__(self, model: nn.Module, width: int, source: Optional[str] = None) -> None:
        modules = dict(model.named_modules())
        self.width = width
        self.source = find_tokens(model) if source is None else source
        if self.source not in modules:
            raise ValueError(
                f'{KEY}: "{self.source}" is not a module of the student. '
                + nearest(self.source, modules)
            )
        module, backbone = modules[self.source], bare(model.backbone)
        self._stated = stated_extra_tokens(backbone)
        # TinyViT's stages have their grid as an attribute.
        resolution = getattr(module, 'resolution', None)
        self._resolution = resolution if isinstance(resolution, (tuple, list)) else None
        self._flat_neck = source is None and self.source == 'backbone' and _pools_flat(model)
        self.stop()
        _hook_grid(backbone, self._note_grid)
        module.register_forward_hook(self._record)

    def start(self, receive: Callable[[Tokens], None]) -> None:
        """Read the following forward passes.

        Args:
            receive (Callable): Called with the :class:`Tokens` of each.
        """
        self._grid, self._receive = None, receive

    def stop(self) -> None:
        """Stop reading."""
        self._grid = self._receive = None

    def _note_grid(self, grid: Tuple[int, int]) -> None:
        if self._receive is not None:
            self._grid = (int(grid[0]), int(grid[1]))

    def _record(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        if self._receive is not None:
            while isinstance(outputs, (tuple, list)) and outputs:
                # Of a backbone the last stage; of a block the tokens, which precede their grid.
                outputs = outputs[-1 if self.source == 'backbone' else 0]
            self._receive(self._read(outputs))

    def _read(self, found: Any) -> Tokens:
        if not isinstance(found, Tensor):
            raise ValueError(f'{KEY}: "{self.source}" gave a {type(found).__name__}.')
        if found.dim() == 4:
            return self._read_map(found)
        tokens = found.transpose(1, 2) if self._flat_neck and found.dim() == 3 else found
        if tokens.dim() == 3 and tokens.shape[2] == self.width:
            for extra in self._allowed():
                grid = self._fit(tokens.shape[1] - extra, extra)
                if grid is not None:
                    return Tokens(tokens, extra, grid)
        raise ValueError(
            f'{KEY}: "{self.source}" gave {tuple(found.shape)}, expected {self._expected()}: '
            'name the module behind the patch embedding that outputs all tokens.'
        )

    def _read_map(self, found: Tensor) -> Tokens:
        first, last = (found.shape[side] == self.width for side in (1, 3))
        if not first and not last:
            raise ValueError(
                f'{KEY}: "{self.source}" gave {tuple(found.shape)}, expected {self.width} '
                'channels: name the module that outputs what the head pools.'
            )
        tokens = found.permute(0, 2, 3, 1) if first else found
        return Tokens(tokens.flatten(1, 2), 0, tuple(tokens.shape[1:3]))

    def _allowed(self) -> List[int]:
        return sorted({self._stated, 0}, reverse=True)

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

    def _expected(self) -> str:
        extra = self._allowed()[0]
        grid = 'h·w' if self._grid is None else f'{self._grid[0]}·{self._grid[1]}'
        return f'(N, {extra} + {grid}, {self.width})'


def bare(backbone: nn.Module) -> nn.Module:
    """The backbone without a wrapper such as MMPretrain's ``LoRAModel``."""
    return backbone.module if type(backbone).__name__ == 'LoRAModel' else backbone


def stated_extra_tokens(backbone: nn.Module) -> int:
    """The number of tokens that a backbone puts before its patches."""
    if hasattr(backbone, 'num_extra_tokens'):
        return backbone.num_extra_tokens
    return sum(getattr(backbone, name, None) is not None for name in ('cls_token', 'dist_token'))


def find_tokens(model: nn.Module) -> str:
    """Name of the module whose output the stock classifier pools or takes its class token from.

    Args:
        model (nn.Module): The student.

    Returns:
        str: A name in ``named_modules()``.

    Raises:
        ValueError: If none is found.
    """
    backbone = getattr(model, 'backbone', None)
    neck = getattr(model, 'neck', None)
    parts = list(neck) if isinstance(neck, nn.Sequential) else [neck]
    for index, part in enumerate(parts):
        if type(part).__name__ in POOLING_NECKS:
            return f'neck.{index - 1}' if index else 'backbone'
    if backbone is not None:
        prefix = 'backbone' if bare(backbone) is backbone else 'backbone.module'
        backbone = bare(backbone)
        if getattr(backbone, 'gap_before_final_norm', False):
            return f'{prefix}.stages.{len(backbone.stages) - 1}'
        for name in LAST:
            if isinstance(getattr(backbone, name, None), nn.Module):
                return f'{prefix}.{name}'
        # BEiT and others normalise only the pooled token: see `find_norm`.
        layers = getattr(backbone, 'layers', None)
        if isinstance(layers, nn.ModuleList) and _any_embedding(backbone):
            return f'{prefix}.layers.{len(layers) - 1}'
    raise ValueError(
        f'The student ({type(backbone).__name__}) has no patch tokens to distil into that could be '
        f'found: name the module that outputs them with {KEY}, or name a vision transformer in '
        'model.architecture.backbone.type.'
    )


def find_norm(model: nn.Module) -> Optional[nn.Module]:
    """The norm that the stock classifier applies to its pooled token, or None.

    BEiT, fine-tuned ViTs of masked image modelling, TinyViT, EdgeNeXt and ConvNeXt pool first.

    Args:
        model (nn.Module): The student.
    """
    backbone = bare(model.backbone)
    if getattr(backbone, 'gap_before_final_norm', False):
        return getattr(backbone, f'norm{len(backbone.stages) - 1}', None)
    if getattr(backbone, 'out_type', None) == 'avg_featmap':
        return getattr(backbone, 'ln2', None)
    return None


def _any_embedding(backbone: nn.Module) -> bool:
    return any(hasattr(backbone, name) for name in EMBEDDINGS)


def _pools_flat(model: nn.Module) -> bool:
    gap = getattr(getattr(model, 'neck', None), 'gap', None)
    return isinstance(gap, nn.AdaptiveAvgPool1d)


def _hook_grid(backbone: nn.Module, note) -> None:
    """Hook the module that knows the grid."""
    # EfficientFormer flattens its map before the last blocks.
    for module in backbone.modules():
        if type(module).__name__ == 'Flat':
            module.register_forward_hook(_Note(note, of_input=True))
            return
    for name in EMBEDDINGS:
        module = getattr(backbone, name, None)
        if not isinstance(module, nn.Module):
            continue
        if name == 'pixel_embed':  # TNT cuts patches from a map
            module.proj.register_forward_hook(_Note(note, patch=tuple(module.new_patch_size)))
        else:
            module.register_forward_hook(_Note(note))
        return


class _Note:
    """A forward hook that reports the grid of a map, or the grid returned with the tokens."""

    def __init__(self, note, of_input: bool = False, patch: Tuple[int, int] = (1, 1)) -> None:
        self.note, self.of_input, self.patch = note, of_input, patch

    def __call__(self, module: nn.Module, inputs: Tuple, outputs: Any) -> None:
        found = inputs[0] if self.of_input else outputs
        if isinstance(found, (tuple, list)) and len(found) > 1:
            self.note(found[1])
        elif isinstance(found, Tensor) and found.dim() == 4:
            height, width = found.shape[2:]
            self.note((height // self.patch[0], width // self.patch[1]))
