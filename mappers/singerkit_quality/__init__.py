"""Rules that rows are held against before they are committed: the setting `checks`, and one judge for all places in which they are judged."""
