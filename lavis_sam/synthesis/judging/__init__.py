"""What people say of the data, and what that says of the automatic checks.

rating_page      a page of random samples for one person to rate (`rate.js` runs in the browser)
ratings          the files that such pages give, read and united
agreement        how far raters agree, and how well each check finds what they call bad
agreement_page   both, as a page and as JSON
side_by_side     several data sets, made by different backends, on one page
diversity        how varied any multi-image data set is
diversity_page   that, as a page
sets_table       that, as a table beside the sets of the paper's Table 1
"""
