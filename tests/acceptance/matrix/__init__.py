"""Every kind of source with every kind of destination: whole transfers of real files, killed in the middle."""
