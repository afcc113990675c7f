"""Every page of the guides, followed once, in the order of the page.

`reader` does what a page says, and says what its blocks mean; `daemons` has what it is done on.
`pages` says of each page which daemon that is, and what is only shown; `texts` makes the files that
pages take from their reader. A page is found by itself.
"""
