"""`singerkit-map explain`: what a map makes of each stream, before it is run."""
