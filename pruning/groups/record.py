"""Run a network once and write down every ATen call with the tensors it read and made.

Recording sees whatever runs, Python control flow included. What it cannot see is Python arithmetic on sizes;
`pruning.shrink` therefore compares its result with the masked network before handing it out.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_map

from pruning.layers import private_copy

# PyTorch detaches a new tensor only if somebody else holds it, as a recording does: two runs of one network
# make the same calls but for these, so they are left out where calls are counted.
UNCOUNTED = "detach"


@dataclass(frozen=True)
class Ref:
    """A tensor of the recording, by its position in `Recording.tensors`."""

    index: int


@dataclass(frozen=True)
class TensorInfo:
    """Shape of a recorded tensor and, if it is a parameter or buffer, its qualified name."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    parameter: str | None = None
    is_input: bool = False


@dataclass(frozen=True)
class Call:
    """One ATen call.

    Args:
        op: name without namespace and overload ("convolution", "add_").
        overload: "default", "Tensor", ...
        namespace: "aten" for all that has a rule.
        pointwise: whether PyTorch declares the operation pointwise.
        args: argument name -> value, defaults included; tensors are Refs.
        outputs: one Ref per result, None where a result is not a tensor.
        scope: module path whose forward made the call ("" is the network itself).
        function: the operation itself.
        aliases: other tensors whose entries an operation in place changes along.
    """

    op: str
    overload: str
    namespace: str
    pointwise: bool
    args: dict[str, Any]
    outputs: tuple[Ref | None, ...]
    scope: str
    function: Any = None
    aliases: tuple[Ref, ...] = ()

    @property
    def inputs(self) -> list[Ref]:
        """Every tensor argument, in order, those inside lists too."""
        return [leaf for leaf in tree_leaves(list(self.args.values())) if isinstance(leaf, Ref)]

    @property
    def where(self) -> str:
        """The place of the call in words."""
        return f"`{self.scope}`" if self.scope else "the network's own forward"


@dataclass(frozen=True)
class Visit:
    """One call of a module's forward.

    Args:
        module: its path.
        given: leaves of its arguments and keyword arguments; tensors are Refs.
        returned: leaves of its result; tensors are Refs.
        form: how the result is made of its leaves.
        start, end: the calls from `start` to before `end` were made meanwhile.
    """

    module: str
    given: tuple[Any, ...]
    returned: tuple[Any, ...]
    form: TreeSpec
    start: int
    end: int


@dataclass
class Recording:
    """A forward pass: tensors, calls in order, visits of modules by their end, what came in and went out."""

    tensors: list[TensorInfo] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    inputs: list[Ref] = field(default_factory=list)
    outputs: list[Ref] = field(default_factory=list)
    batch: int = 1
    constants: dict[int, Tensor] = field(default_factory=dict)  # index of a tensor made outside -> its value
    result: tuple[tuple[Any, ...], TreeSpec | None] = ((), None)  # leaves of what was returned, and its form

    @property
    def needed(self) -> list[bool]:
        """For each call whether its results reach the outputs; all do where there are none."""
        if not self.outputs:
            return [True] * len(self.calls)
        wanted, needed = set(self.outputs), []
        for call in reversed(self.calls):
            needed.append(not wanted.isdisjoint((*call.outputs, *call.aliases)))
            if needed[-1]:
                wanted.update(call.inputs)
        return needed[::-1]

    @property
    def precision(self) -> torch.dtype:
        """The coarsest type of floating-point number among its tensors."""
        types = {info.dtype for info in self.tensors if info.dtype.is_floating_point}
        return max(types, key=lambda dtype: torch.finfo(dtype).eps, default=torch.float64)


@torch.no_grad()
def record(module: nn.Module, example_inputs: Sequence[Any]) -> Recording:
    """Record one forward pass in eval mode of a copy, so that the module itself is never touched.

    Args:
        module: any module.
        example_inputs: positional arguments of its forward.
    Raises:
        ValueError: if it does not run, or returns something other than tensors (in lists, tuples or dicts).
    """
    twin = private_copy(module)
    recorder = _Recorder(twin, example_inputs)
    for name, child in twin.named_modules():
        child.register_forward_pre_hook(recorder.entering(name), with_kwargs=True)
        child.register_forward_hook(recorder.leaving)
    try:
        with recording_settings(), recorder:
            results = twin(*example_inputs)
    except Exception as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"The network does not run on the example inputs: {cause}") from error
    leaves, form = tree_flatten(results)
    recorder.recording.result = recorder.refs(leaves), form
    for leaf in leaves:
        if isinstance(leaf, Tensor):
            recorder.recording.outputs.append(recorder.ref(leaf))
        elif leaf is not None and not isinstance(leaf, (bool, int, float, str)):
            raise ValueError(
                f"The network returns a {type(leaf).__name__}; its forward must return tensors, or lists, "
                "tuples or dicts of tensors."
            )
    return recorder.recording


@contextmanager
def recording_settings() -> Iterator[None]:
    """No fused calls, which would hide what they compute: fast attention, recurrent layers of oneDNN.

    These are settings of the whole process: the first thread that comes changes them, the last that goes
    changes them back.
    """
    global _recording, _settings
    with _SETTINGS_LOCK:
        _recording += 1
        if _recording == 1:
            onednn = torch._C._get_mkldnn_enabled()  # the public context manager warns of TF32 on every use
            _settings = torch.backends.mha.get_fastpath_enabled(), onednn
            _set(False, False)
    try:
        yield
    finally:
        with _SETTINGS_LOCK:
            _recording -= 1
            if not _recording:
                _set(*_settings)


_SETTINGS_LOCK = threading.Lock()
_recording = 0  # how many threads are at it
_settings = (True, True)  # as they were before


def _set(fastpath: bool, onednn: bool) -> None:
    torch.backends.mha.set_fastpath_enabled(fastpath)
    torch._C._set_mkldnn_enabled(onednn)


class Watch(TorchDispatchMode):
    """A mode that looks at operations one by one, and spares the seconds of importing torch.compile."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _Recorder(Watch):
    def __init__(self, module: nn.Module, example_inputs: Sequence[Any]) -> None:
        super().__init__()
        self.recording = Recording()
        self._index: dict[int, Ref] = {}  # id of a tensor -> its latest value
        self._alive: list[Tensor] = []  # ids stay unique only while the tensors live
        self._memory: dict[int, list[Tensor]] = defaultdict(list)  # place of a storage -> who shares it
        self._scopes: list[str] = []
        self._open: list[tuple[tuple[Any, ...], int]] = []  # what each scope was given, and the calls before
        self._names: dict[int, str] = {}
        self._storage: dict[tuple[Any, ...], str] = {}
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            self._names[id(tensor)] = name
            self._storage[_place(tensor)] = name
            self._alive.append(tensor)
        inputs = [leaf for leaf in tree_leaves(list(example_inputs)) if isinstance(leaf, Tensor)]
        self.recording.inputs = [self._add(tensor, is_input=True) for tensor in inputs]
        self.recording.batch = inputs[0].shape[0] if inputs and inputs[0].ndim else 1

    def entering(self, name: str) -> Callable[..., None]:
        def hook(_: nn.Module, *given: Any) -> None:
            self._scopes.append(name)
            self._open.append((self.refs(tree_leaves(given)), len(self.recording.calls)))

        return hook

    def leaving(self, _: nn.Module, __: Any, result: Any) -> None:
        leaves, form = tree_flatten(result)
        given, start = self._open.pop()
        visit = Visit(self._scopes.pop(), given, self.refs(leaves), form, start, len(self.recording.calls))
        self.recording.visits.append(visit)

    def refs(self, leaves: list[Any]) -> tuple[Any, ...]:
        """The same leaves with tensors as Refs."""
        return tuple(self.ref(leaf) if isinstance(leaf, Tensor) else leaf for leaf in leaves)

    def ref(self, tensor: Tensor) -> Ref:
        """The latest value of a tensor; one never seen is a parameter, a view of one, or a constant."""
        if id(tensor) not in self._index:
            name = self._names.get(id(tensor)) or self._storage.get(_place(tensor))
            ref = self._add(tensor, parameter=name)
            if name is None:
                self.recording.constants[ref.index] = tensor
            return ref
        return self._index[id(tensor)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        before = tree_map(lambda x: self.ref(x) if isinstance(x, Tensor) else x, (args, kwargs))
        aliases = self._sharing(args[0]) if _in_place(func) else ()
        result = func(*args, **kwargs)
        results = result if isinstance(result, (list, tuple)) else [result]
        outputs = tuple(self._add(out) if isinstance(out, Tensor) else None for out in results)
        self.recording.calls.append(
            Call(
                op=func._opname,
                overload=func._overloadname,
                namespace=func.namespace,
                pointwise=torch.Tag.pointwise in func.tags,
                args=_bind(func, *before),
                outputs=outputs,
                scope=self._scopes[-1] if self._scopes else "",
                function=func,
                aliases=aliases,
            )
        )
        return result

    def _add(self, tensor: Tensor, parameter: str | None = None, is_input: bool = False) -> Ref:
        ref = Ref(len(self.recording.tensors))
        info = TensorInfo(tuple(tensor.shape), tensor.dtype, parameter, is_input)
        self.recording.tensors.append(info)
        self._index[id(tensor)] = ref
        self._alive.append(tensor)
        if tensor.layout is torch.strided:
            self._memory[tensor.untyped_storage().data_ptr()].append(tensor)
        return ref

    def _sharing(self, tensor: Tensor) -> tuple[Ref, ...]:
        """Other tensors in the same memory."""
        shared = self._memory.get(tensor.untyped_storage().data_ptr(), [])
        return tuple({id(other): self._index[id(other)] for other in shared if other is not tensor}.values())


def _place(tensor: Tensor) -> tuple[Any, ...]:
    """Where a tensor lies in memory: `weight.data` is another object but the same place."""
    if tensor.layout is not torch.strided or not tensor.numel():
        return (id(tensor),)
    return (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())


def _in_place(func: Any) -> bool:
    return func._opname.endswith("_") and not func._opname.endswith("__")


def _bind(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    names, defaults = _signature(func)
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    return given | {name: value for name, value in defaults.items() if name not in given}


@lru_cache(maxsize=4096)
def _signature(func: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    arguments = func._schema.arguments
    defaults = {a.name: a.default_value for a in arguments if a.has_default_value()}
    return tuple(a.name for a in arguments if not a.kwarg_only), defaults
