// A C target needs one source file; all that this one offers comes from the libraries its header names.
#include "CCompression.h"
