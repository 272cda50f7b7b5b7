"""The stages between plan and text; each takes a batch of drafts and gives back drafts or rejections."""
