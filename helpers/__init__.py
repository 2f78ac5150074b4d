"""Everything around the detector that students use and do not write."""

import os
from pathlib import Path

from core.command import end_quietly_until_main

end_quietly_until_main()

# Threads that wait for each other spin for a moment and then sleep. Endless spinning
# makes a training step many times slower where other programs run on the same cores;
# sleeping at once makes it half as slow again where none do. Set before torch is
# imported, and only where the user has not chosen.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "100000")

# helpers.backbones and other names that students' files of earlier releases import.
__path__.append(str(Path(__file__).with_name("moved")))
