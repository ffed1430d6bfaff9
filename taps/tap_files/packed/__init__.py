"""Files that are packed: compressed ones unpacked as they are read, and the members of archives as files of their own."""
