"""`python -m insightedit`, and `accelerate launch -m insightedit`."""

from insightedit.app.cli.main import main

main()
