"""Numbers that judge an edit: from pixels, from networks, from a chat model."""
