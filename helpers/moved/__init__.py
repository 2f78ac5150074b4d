"""Old names of modules that students' files of earlier releases import."""
