"""What the page costs: figures beside the budgets that they have to keep."""
