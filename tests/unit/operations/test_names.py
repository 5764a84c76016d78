"""Names that callers choose."""

import pytest

from homeport.api import ecs
from homeport.operations.names import check_name, check_service_name, is_name


@pytest.mark.parametrize("name", ["a", "A-z_0", "-", "x" * 255])
def test_letters_digits_hyphens_and_underscores_make_a_name(name):
    assert check_name(name, "Family") == name
    assert is_name(name)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (None, "Family should not be null or empty."),
        ("", "Family should not be null or empty."),
        ("web app", "Family contains invalid characters."),
        ("web\n", "Family contains invalid characters."),
        ("größe", "Family contains invalid characters."),
        ("x" * 256, "Family must be 255 characters or less."),
    ],
)
def test_anything_else_is_refused_by_the_members_name(name, complaint):
    with pytest.raises(ecs.ClientException) as refusal:
        check_name(name, "Family", ecs.ClientException)
    assert refusal.value.message.startswith(complaint)


@pytest.mark.parametrize("name", [None, "", "a/b", "x" * 256])
def test_a_service_name_has_a_sentence_of_its_own(name):
    with pytest.raises(ecs.InvalidParameterException, match=r"^Invalid service name\.$"):
        check_service_name(name)
