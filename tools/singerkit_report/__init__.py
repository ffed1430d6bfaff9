"""`singerkit report`: the history of runs as one HTML file to look at."""
