"""Everything around the detector that students use and do not write."""

import os

# Threads that wait for each other sleep instead of spinning. Where other programs run
# on the same cores, spinning makes a training step many times slower. Set before torch
# is imported, and only where the user has not chosen.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
