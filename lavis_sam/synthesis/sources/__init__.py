"""Where objects come from: drawn here, or read from published data sets and folders.

embedded      people, furniture, icons and covers that are drawn; studio photographs them
abo           Amazon Berkeley Objects
books         the Amazon book cover list
deepfashion   DeepFashion, in-shop and MultiModal
folders       one's own images and icons
groups        what the sources of files share: groups of images, splits, views
files         images, masks and tables of strangers, read within bounds
"""
