"""`singerkit history`: what former runs have come to."""
