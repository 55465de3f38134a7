"""What holds for all tests."""

from hypothesis import settings

# The suite tries the same generated cases every time, so that a red run is red again. To look for new ones:
# `.ci/test tests/property tests/gateway/test_garbage.py --hypothesis-profile=explore`; what it finds becomes a test.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile("repeatable")
