import * as loss from "./loss.mjs";
import { serve } from "./protocol.mjs";

serve(loss);
