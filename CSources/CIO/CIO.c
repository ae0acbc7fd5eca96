#include "CIO.h"
