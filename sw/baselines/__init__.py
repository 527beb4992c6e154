"""What other machines need for the same work: modelled here, labelled so."""
