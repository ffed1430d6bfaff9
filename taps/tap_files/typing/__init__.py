"""What the texts of a file become: integers, numbers, or texts as they are; in one place for all formats of text."""
