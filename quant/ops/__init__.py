"""Operations, one a file: shape rule, meaning and range rule beside the class."""
