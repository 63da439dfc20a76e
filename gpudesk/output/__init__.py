"""What commands print: JSON whose keys are a contract, and plain text."""
