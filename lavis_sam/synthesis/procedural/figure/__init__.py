"""A human figure from surfaces: bones first, then skin, hair and clothes around them.

    skeleton   body measures, poses, joints
    limbs      arms, legs, hands, feet
    trunk      the body between neck and thighs, and clothes that follow it
    head       skull, face, ears
    hair       styles
    upper      what is worn on the upper body
    lower      what is worn on the lower body, and one-piece clothes
    shoes      what is worn on the feet
    extras     hats, glasses, scarves, the stool of a sitting figure

The figure stands at the origin with its front towards z; its right hand is at negative x.
"""
