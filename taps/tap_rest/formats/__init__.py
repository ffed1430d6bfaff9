"""From the body of an answer, in whatever format it came, to the JSON that the rest of tap-rest reads.

`translating` is asked for each answer; `looks` tells what a body is, `lines`, `csvtext` and `xmltext` read one format each, `layouts` makes objects of rows that are none, `texts` makes values of text where a schema says their types.
"""
