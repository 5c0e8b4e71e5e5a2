"""A larger language model as the teacher: what it would say next is learnt beside what was said.

After Hinton et al. 2015, "Distilling the Knowledge in a Neural Network". The teacher has a
vocabulary of its own, so it is asked where one of its tokens begins where one of ours does, and
each of its tokens counts as the one of ours that its text begins with. Its answers are kept as a
few draws a token rather than as probabilities: they are unbiased and small (Anshumann et al. 2025,
"Sparse Logit Sampling").
"""
