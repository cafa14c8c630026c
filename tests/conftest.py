"""How generated tests are run: without a clock, and in the gate with the same examples for everybody."""

import os

from hypothesis import settings

# No test may fail because a machine is slow, and no change because of an example that another one would have met: the gate
# repeats its examples, a developer's run looks for new ones.
settings.register_profile("look", deadline=None)
settings.register_profile("gate", deadline=None, derandomize=True)
settings.load_profile("gate" if os.environ.get("CI") else "look")
