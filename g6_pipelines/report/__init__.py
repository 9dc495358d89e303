"""The day as one page for people: what is shown (`facts`), the pictures (`figures`), the page (`page`)."""
