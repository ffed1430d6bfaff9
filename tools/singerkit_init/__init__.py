"""`singerkit init`: a folder to start from, which runs as it stands."""
