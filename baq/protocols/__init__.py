"""Which protocol a paper's figures came from: a space of protocols, simulated answers, and a posterior."""
