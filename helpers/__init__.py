"""Everything around the detector that students use and do not write."""
