"""From the body of a page to the records that are sent."""
