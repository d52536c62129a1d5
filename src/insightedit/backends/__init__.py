"""What construction asks: who describes, who segments, who paints. Classical engines need no weights."""
