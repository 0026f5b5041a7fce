"""From audio and scores to honest figures: events, operating points, intervals, the report."""
