"""Is a module's output its input plus something? Read off the recording, call by call."""

from __future__ import annotations

from pruning.groups.record import Call, Recording, Ref, Visit

_NORMS = frozenset(
    {
        "native_batch_norm",
        "_native_batch_norm_legit_no_training",
        "_native_batch_norm_legit",
        "cudnn_batch_norm",
        "native_layer_norm",
        "native_group_norm",
        "_fused_rms_norm",
        "rms_norm",
    }
)
# Reshaping keeps the order of the entries: from a shape and back to it, nothing has moved.
_SAME = frozenset(
    {"view", "_unsafe_view", "reshape", "_reshape_alias", "flatten", "squeeze", "unsqueeze"}
    | {"clone", "alias", "detach", "_to_copy", "native_dropout", "contiguous"}
)
_SUMS = frozenset({"add", "add_", "sub", "sub_"})
ATTENTION = "_scaled_dot_product"


class Flow:
    """A recording with the call that made each tensor, and which tensors depend on the network's input."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.maker: dict[int, int] = {}  # tensor -> the call that made it
        self.moves: set[int] = {ref.index for ref in recording.inputs}  # tensors that follow the input
        for number, call in enumerate(recording.calls):
            follows = any(ref.index in self.moves for ref in call.inputs)
            for ref in call.outputs:
                if ref is not None:
                    self.maker[ref.index] = number
                    if follows:
                        self.moves.add(ref.index)

    def additions(self, visit: Visit, given: Ref, returned: Ref) -> list[Call]:
        """The additions by which a module hands its input on; none if its output is no such sum.

        On the way from the input to the output only these are passed: reshapes; additions of two tensors that
        follow the network's input; and, once there was such an addition, norms, activations and scales.
        """
        summed = {given.index: False}  # tensors reached -> whether after an addition
        sources: dict[int, list[Ref]] = {}
        for call in self.recording.calls[visit.start : visit.end]:
            after, ways = self._passed(call, summed)
            if ways:
                for ref in call.outputs[:1]:
                    if ref is not None and ref.index not in summed:
                        summed[ref.index], sources[ref.index] = after, ways
        if not summed.get(returned.index):
            return []
        found, left = set(), [returned.index]
        while left:
            reached = left.pop()
            number = self.maker[reached]
            if number in found or reached == given.index:
                continue
            found.add(number)
            left += [ref.index for ref in sources.get(reached, ()) if ref.index in sources]
        calls = [self.recording.calls[number] for number in sorted(found)]
        return [call for call in calls if len(self._sides(call)) > 1]

    def _passed(self, call: Call, summed: dict[int, bool]) -> tuple[bool, list[Ref]]:
        """Which of the tensors reached a call hands on, and whether its result is after an addition."""
        sides = self._sides(call)
        if len(sides) > 1:
            # A difference hands on what it takes away from, and what is spread by broadcasting is not kept.
            sides = sides[:1] if call.op.startswith("sub") else sides
            return True, [ref for ref in sides if ref.index in summed and self._keeps_shape(call, ref)]
        moving = [ref for ref in call.inputs if ref.index in self.moves]
        if call.op in _NORMS:
            moving = moving[:1]
        reached = [ref for ref in moving if ref.index in summed]
        if len(moving) != 1 or not reached:
            return False, []
        after = summed[reached[0].index]
        passes = call.op in _SAME or (after and (call.op in _NORMS or call.pointwise))
        return after, reached if passes else []

    def _sides(self, call: Call) -> list[Ref]:
        """The two tensors that an addition adds, if both follow the network's input; else nothing."""
        if call.op not in _SUMS:
            return []
        sides = [ref for name in ("self", "other") if isinstance(ref := call.args.get(name), Ref)]
        moving = [ref for ref in sides if ref.index in self.moves]
        return moving if len(moving) > 1 else []

    def _keeps_shape(self, call: Call, ref: Ref) -> bool:
        result = call.outputs[0]
        shape = self.recording.tensors[ref.index].shape
        return result is not None and shape == self.recording.tensors[result.index].shape


def has_attention(calls: list[Call]) -> bool:
    """Whether there is attention among these calls: as one operation, or a softmax that weighs a product."""
    if any(call.op.startswith(ATTENTION) for call in calls):
        return True
    products = {"bmm", "matmul", "baddbmm", "mm"}
    places = [number for number, call in enumerate(calls) if call.op in products]
    softmax = [number for number, call in enumerate(calls) if "softmax" in call.op]
    return any(places[0] < number < places[-1] for number in softmax) if places else False
