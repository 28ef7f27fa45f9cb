"""How do eight markets advance in one instruction?

A value of this module's type holds one double of each of eight lanes; operators act on all lanes at once, and compile
to one vector instruction where the machine has one and to several where not. A lane never sees another lane, and
IEEE arithmetic is the same in a vector as alone, so a lane's bytes do not depend on its position or its company.
Values live only inside compiled code: they are read from a row of the state with ``get`` and written with ``put``.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

LANES = 8
RING = 512  # rows of a ring of raw values; a power of two, so that a bar's place is its number's low bits
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_HALF, _NARROW_HALF = ir.VectorType(ir.DoubleType(), 4), ir.VectorType(ir.FloatType(), 4)
_INTEGERS = ir.VectorType(ir.IntType(64), LANES)
_BITS = ir.VectorType(ir.IntType(1), LANES)
_INDEX = ir.VectorType(ir.IntType(32), LANES)


class Lanes(types.Type):
    """Eight doubles, one a lane."""


class Mask(types.Type):
    """Eight truths, one a lane."""


lanes, mask = Lanes("lanes"), Mask("mask")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _DOUBLES)


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, _BITS)


def _widened(builder, value, kind):
    """Repeat a scalar in all lanes; lanes stay as they are."""
    if kind == lanes:
        return value
    if isinstance(value, ir.Constant):
        return ir.Constant(_DOUBLES, [value] * LANES)
    first = builder.insert_element(ir.Constant(_DOUBLES, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, first, ir.Constant(_INDEX, [0] * LANES))


def _operator(function, result, emit):
    """Teach the compiler one binary operator between lanes, or lanes and a number."""

    @type_callable(function)
    def _type(_context):
        def typer(a, b):
            return result if {a, b} in ({lanes}, {lanes, types.float64}) else None

        return typer

    for a, b in ((lanes, lanes), (lanes, types.float64), (types.float64, lanes)):

        @lower_builtin(function, a, b)
        def _lower(_context, builder, signature, args):
            return emit(builder, *(_widened(builder, x, t) for x, t in zip(args, signature.args, strict=True)))


_operator(operator.add, lanes, lambda builder, a, b: builder.fadd(a, b))
_operator(operator.sub, lanes, lambda builder, a, b: builder.fsub(a, b))
_operator(operator.mul, lanes, lambda builder, a, b: builder.fmul(a, b))
_operator(operator.truediv, lanes, lambda builder, a, b: builder.fdiv(a, b))
_operator(operator.gt, mask, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_operator(operator.ge, mask, lambda builder, a, b: builder.fcmp_ordered(">=", a, b))
_operator(operator.lt, mask, lambda builder, a, b: builder.fcmp_ordered("<", a, b))
_operator(operator.le, mask, lambda builder, a, b: builder.fcmp_ordered("<=", a, b))
_operator(operator.eq, mask, lambda builder, a, b: builder.fcmp_ordered("==", a, b))
_operator(operator.ne, mask, lambda builder, a, b: builder.fcmp_unordered("!=", a, b))


@type_callable(operator.and_)
def _type_and(_context):
    def typer(a, b):
        return mask if a == b == mask else None

    return typer


@lower_builtin(operator.and_, mask, mask)
def _lower_and(_context, builder, _signature, args):
    return builder.and_(*args)


def _pointer(context, builder, signature, args, position=0, at=1):
    """Point at the lanes that begin at this element of an array argument."""
    array = context.make_array(signature.args[position])(context, builder, args[position])
    return builder.bitcast(builder.gep(array.data, [args[at]]), _DOUBLES.as_pointer())


@intrinsic
def get(_typing, s, at):
    """The row of the state that begins at element ``at``."""

    def codegen(context, builder, signature, args):
        return builder.load(_pointer(context, builder, signature, args), align=8)

    return lanes(s, types.intp), codegen


@intrinsic
def back(_typing, s, ring, newest, bars):
    """The row so many bars before the newest in a ring of 512 rows, which begins at element ``ring``."""

    def codegen(context, builder, signature, args):
        place = builder.and_(builder.sub(args[2], args[3]), ir.Constant(ir.IntType(64), RING - 1))
        at = builder.add(args[1], builder.mul(place, ir.Constant(ir.IntType(64), LANES)))
        return builder.load(_pointer(context, builder, signature, [args[0], at]), align=8)

    return lanes(s, types.intp, types.intp, types.intp), codegen


@intrinsic
def put(_typing, s, at, x):
    """Write a row of the state; a number goes to all lanes."""

    def codegen(context, builder, signature, args):
        value = _widened(builder, args[2], signature.args[2])
        builder.store(value, _pointer(context, builder, signature, args), align=8)
        return context.get_dummy_value()

    return types.void(s, types.intp, x if x == lanes else types.float64), codegen


@intrinsic
def get_count(_typing, s, at):
    """A whole number kept in one element of the state."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()))

    return types.intp(s, types.intp), codegen


@intrinsic
def put_count(_typing, s, at, number):
    """Keep a whole number in one element of the state."""

    def codegen(context, builder, signature, args):
        pointer = _pointer(context, builder, signature, args)
        builder.store(args[2], builder.bitcast(pointer, ir.IntType(64).as_pointer()))
        return context.get_dummy_value()

    return types.void(s, types.intp, types.intp), codegen


@intrinsic
def wide(_typing, x):
    """A number in all lanes."""

    def codegen(_context, builder, _signature, args):
        return _widened(builder, args[0], types.float64)

    return lanes(types.float64), codegen


@intrinsic
def select(_typing, where, a, b):
    """``a`` in the lanes where the mask is true, ``b`` in the others."""

    def codegen(_context, builder, signature, args):
        a, b = (_widened(builder, x, t) for x, t in zip(args[1:], signature.args[1:], strict=True))
        return builder.select(args[0], a, b)

    a, b = (x if x == lanes else types.float64 for x in (a, b))
    return lanes(where, a, b), codegen


@intrinsic
def ratio(_typing, a, b, otherwise):
    """``a / b``, or what the definition says where b is zero."""

    def codegen(_context, builder, signature, args):
        a, b, other = (_widened(builder, x, t) for x, t in zip(args, signature.args, strict=True))
        return builder.select(builder.fcmp_unordered("!=", b, _zero()), builder.fdiv(a, b), other)

    return lanes(a, b, otherwise if otherwise == lanes else types.float64), codegen


@intrinsic
def larger(_typing, a, b):
    """The larger of two; the second where either is NaN."""

    def codegen(_context, builder, signature, args):
        a, b = (_widened(builder, x, t) for x, t in zip(args, signature.args, strict=True))
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return lanes(a, b if b == lanes else types.float64), codegen


@intrinsic
def above_zero(_typing, x):
    """X where it is positive, else 0."""

    def codegen(_context, builder, _signature, args):
        return builder.select(builder.fcmp_ordered(">", args[0], _zero()), args[0], _zero())

    return lanes(x), codegen


def _zero():
    return ir.Constant(_DOUBLES, [ir.Constant(ir.DoubleType(), 0.0)] * LANES)


def _unary(name):
    def codegen(_context, builder, _signature, args):
        kind = ir.FunctionType(_DOUBLES, [_DOUBLES])
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64")
        return builder.call(function, args)

    return lanes(lanes), codegen


@intrinsic
def root(_typing, _x):
    """Square root."""
    return _unary("sqrt")


@intrinsic
def floor(_typing, _x):
    """Largest integer not above."""
    return _unary("floor")


@intrinsic
def size(_typing, _x):
    """Absolute value."""
    return _unary("fabs")


def _with_exponent(keep, put_in, shift):
    """Rearrange the bits of a double: ``(bits >> shift & keep) | put_in``, read as a double."""

    def codegen(_context, builder, _signature, args):
        def every(value):
            return ir.Constant(_INTEGERS, [ir.Constant(ir.IntType(64), value)] * LANES)

        bits = builder.lshr(builder.bitcast(args[0], _INTEGERS), every(shift))
        return builder.bitcast(builder.or_(builder.and_(bits, every(keep)), every(put_in)), _DOUBLES)

    return lanes(lanes), codegen


@intrinsic
def mantissa(_typing, _x):
    """The m of a positive ``x = m 2**k``, 1 <= m < 2."""
    return _with_exponent(0x000FFFFFFFFFFFFF, 0x3FF0000000000000, 0)


@intrinsic
def raw_exponent(_typing, _x):
    """``2**52 + k + 1023`` of a positive ``x = m 2**k``: the exponent's bits, as the low bits of a large double."""
    return _with_exponent(0x7FF, 0x4330000000000000, 52)


def _transposed(builder, quarters):
    """Transpose eight rows of eight, given as ``quarters(row, half)`` of four each.

    Halves come from memory, where joining them is cheap; what is left is a 4 x 4 transpose in each half.
    """

    def shuffle(a, b, how):
        return builder.shuffle_vector(a, b, ir.Constant(_INDEX, how))

    lines = []
    for half in (0, 1):
        a, b, c, d = (shuffle(quarters(i, half), quarters(i + 4, half), list(range(8))) for i in range(4))
        for low, high in ((0, 1), (2, 3)):
            how = [low, 8 + low, high, 8 + high, 4 + low, 12 + low, 4 + high, 12 + high]
            x, y = shuffle(a, b, how), shuffle(c, d, how)
            lines += [shuffle(x, y, [0, 1, 8, 9, 4, 5, 12, 13]), shuffle(x, y, [2, 3, 10, 11, 6, 7, 14, 15])]
    return lines


def _addresses(context, builder, signature, args, position):
    """Read the eight lanes' addresses from the integers that begin at the next argument."""
    array = context.make_array(signature.args[position])(context, builder, args[position])
    for lane in range(LANES):
        at = builder.add(args[position + 1], ir.Constant(ir.IntType(64), lane))
        yield builder.load(builder.gep(array.data, [at]))


@intrinsic
def gather(_typing, s, to, addresses, at, first_byte):
    """Read eight doubles of each lane's bar into eight rows of the state."""

    def codegen(context, builder, signature, args):
        lines = list(_addresses(context, builder, signature, args, 2))

        def quarters(lane, half):
            at = builder.add(builder.add(lines[lane], args[4]), ir.Constant(ir.IntType(64), 32 * half))
            return builder.load(builder.inttoptr(at, _HALF.as_pointer()), align=8)

        for column, value in enumerate(_transposed(builder, quarters)):
            row = [args[0], builder.add(args[1], ir.Constant(ir.IntType(64), LANES * column))]
            builder.store(value, _pointer(context, builder, signature, row), align=8)
        return context.get_dummy_value()

    return types.void(s, types.intp, addresses, types.intp, types.intp), codegen


@intrinsic
def scatter(_typing, s, first, addresses, at, column, room, like):
    """Write eight rows of the state, which are eight features, into each lane's output row from ``column`` on.

    ``room`` is where 32 elements of the state may be overwritten.
    """
    narrow = like.dtype == types.float32
    half, width = (_NARROW_HALF, 4) if narrow else (_HALF, 8)

    def codegen(context, builder, signature, args):
        def place(element, kind):
            return builder.bitcast(_pointer(context, builder, signature, [args[0], element]), kind.as_pointer())

        def element(at, offset):
            return builder.add(at, ir.Constant(ir.IntType(64), offset))

        rows = args[1]
        if narrow:
            rows = args[5]
            for feature in range(LANES):
                value = builder.load(place(element(args[1], LANES * feature), _DOUBLES), align=8)
                target = place(element(rows, LANES // 2 * feature), _FLOATS)
                builder.store(builder.fptrunc(value, _FLOATS), target, align=8)

        def quarters(feature, part):
            offset = (LANES * feature + 4 * part) * width // 8
            return builder.load(place(element(rows, offset), half), align=8)

        offset = builder.mul(args[4], ir.Constant(ir.IntType(64), width))
        lines = _addresses(context, builder, signature, args, 2)
        for address, value in zip(lines, _transposed(builder, quarters), strict=True):
            kind = ir.VectorType(half.element, LANES)
            builder.store(value, builder.inttoptr(builder.add(address, offset), kind.as_pointer()), align=width)
        return context.get_dummy_value()

    return types.void(s, types.intp, addresses, types.intp, types.intp, types.intp, like), codegen


@intrinsic
def put_reason(_typing, address, reason):
    """Write a small whole number as ``uint16`` at an address."""

    def codegen(context, builder, _signature, args):
        pointer = builder.inttoptr(args[0], ir.IntType(16).as_pointer())
        builder.store(builder.fptoui(args[1], ir.IntType(16)), pointer, align=2)
        return context.get_dummy_value()

    return types.void(types.intp, types.float64), codegen
