#ifndef GF_H_
#define GF_H_

// All templates. A row is a C array of one token's elements, heads before features; a frame is an
// array of rows.

#include "gf_types.h"

#include "gf_arithmetic.h"
#include "gf_cast.h"
#include "gf_io.h"
#include "gf_layout.h"
#include "gf_lookup.h"
#include "gf_matmul.h"
#include "gf_normalize.h"
#include "gf_reduce.h"

#endif
