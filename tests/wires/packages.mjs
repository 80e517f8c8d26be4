// Finds the packages of a script in .clients, since the script lies outside of that folder.
import { registerHooks } from "node:module";

const clients = new URL("../../.clients/package.json", import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    const isPackage = !/^([./]|[a-z]+:)/.test(specifier);
    const isOurs = !context.parentURL?.includes("/node_modules/");
    return next(specifier, isPackage && isOurs ? { ...context, parentURL: clients } : context);
  },
});
