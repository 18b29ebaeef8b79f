import numpy as np

from golden.checks import check_array, check_axis, check_choice, check_integer, check_integers
from tests.support.errors import raises_exactly


def test_choice():
    check_choice("order", "up", ("up", "down"))
    with raises_exactly(ValueError, "order must be one of up, down, not 'left'"):
        check_choice("order", "left", ("up", "down"))
    with raises_exactly(TypeError, "order must be a string, not 3"):
        check_choice("order", 3, ("up", "down"))


def test_integer():
    assert check_integer("n", 3) == 3
    number = check_integer("n", np.int32(4))
    assert number == 4
    assert type(number) is int
    for wrong in (1.0, True, np.True_, "1", None):
        with raises_exactly(TypeError, f"n must be an integer, not {wrong!r}"):
            check_integer("n", wrong)


def test_integers():
    for values in ([3, 1], (3, 1), np.array([3, 1], np.uint16), iter([3, 1])):
        numbers = check_integers("n", values)
        assert numbers == [3, 1]
        assert [type(n) for n in numbers] == [int, int]
    assert check_integers("n", []) == []
    for wrong in (5, None, np.array(5)):
        with raises_exactly(TypeError, f"n must be a sequence of integers, not {wrong!r}"):
            check_integers("n", wrong)
    with raises_exactly(TypeError, "n must be an integer, not 2.0"):
        check_integers("n", [1, 2.0])


def test_array():
    check_array("x", np.zeros(1, np.float32))
    check_array("x", np.zeros((1, 2), np.uint8), np.uint8)
    with raises_exactly(TypeError, "x must be a float32 array, not list"):
        check_array("x", [1.0])
    with raises_exactly(TypeError, "x must be a float32 array, not float64"):
        check_array("x", np.zeros(3))
    with raises_exactly(TypeError, "x must be a float32 array, not >f4"):
        check_array("x", np.zeros(3, ">f4"))
    with raises_exactly(TypeError, "x must be a uint8 array, not int8"):
        check_array("x", np.zeros(3, np.int8), np.uint8)
    with raises_exactly(ValueError, "x must have at least one axis, not shape ()"):
        check_array("x", np.array(1, np.float32))
    with raises_exactly(ValueError, "x must have at least one element, not shape (4, 0)"):
        check_array("x", np.zeros((4, 0), np.float32))


def test_axis():
    assert [check_axis(i, 3) for i in range(-3, 3)] == [0, 1, 2, 0, 1, 2]
    for wrong in (3, -4):
        with raises_exactly(ValueError, f"axis must be -3 to 2, not {wrong}"):
            check_axis(wrong, 3)
    with raises_exactly(TypeError, "axis must be an integer, not 1.5"):
        check_axis(1.5, 3)
