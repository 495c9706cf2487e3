"""The page: what a person sees and steers in a browser, served by the API under /page."""
