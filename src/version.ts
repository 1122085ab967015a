/** The version of this berth; a test compares it with `package.json`. */
export const version = "0.1.0"
