"""What all tests of this folder share."""

from hypothesis import settings

# A law is a matter of what comes out, not of how long a busy machine takes.
settings.register_profile("untimed", deadline=None)
if settings.get_current_profile_name() == "default":
    settings.load_profile("untimed")
